"""Which formats are read: those whose every byte lies in the one file that was named.

A playlist, an edit script or a numbered series names further files, and FFmpeg follows the names
wherever they lead: out of the root, to another user's film. Such a format is not read at all. The
reader that the probe chose is the one that FFmpeg is then told to use.
"""

from collections.abc import Sequence

SELF_CONTAINED = (
    "aac ac3 ac4 aiff alaw amr ape apng asf asf_o ast au avi av1 bink caf cavsvideo dirac dnxhd dsf"
    " dts dtshd dv eac3 flac flic flv g722 gif gsm gxf h261 h263 h264 hevc ivf loas m4v matroska"
    " mjpeg mlp mov mp3 mpc mpc8 mpeg mpegts mpegvideo mpjpeg mulaw mxf nut obu ogg oma pva qcp rm"
    " roq rpl smjpeg smk sox swf tak truehd tta vc1 vc1test vivo voc vvc w64 wav webm wtv wv xa"
    " yuv4mpegpipe"
    " bmp_pipe dpx_pipe exr_pipe gif_pipe j2k_pipe jpeg_pipe jpegls_pipe jpegxl_pipe pbm_pipe"
    " pcx_pipe pgm_pipe png_pipe ppm_pipe psd_pipe qoi_pipe sgi_pipe tiff_pipe webp_pipe"
)
STILL = "image2"
"""The reader of single pictures such as `a.jpg`; a `%` in the name makes a series of it."""


def allowed(name: str) -> Sequence[str]:
    """The readers that may open a file of this name."""
    formats = SELF_CONTAINED.split()
    return formats if "%" in name else [*formats, STILL]


def reader(format_name: str) -> str:
    """Of a probe's `mov,mp4,m4a,3gp,3g2,mj2`, the name to ask FFmpeg for."""
    return format_name.partition(",")[0]
