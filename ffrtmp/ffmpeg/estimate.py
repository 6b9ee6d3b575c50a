"""How large an output may become, before it is made: what a worker keeps free for it.

Of a bitrate it is arithmetic. Of a constant quality nobody knows: the table is what moving,
detailed pictures take, but never more than six times what the source spends on a pixel, or than
no compression at all. An estimate that proves too low costs a full disk, which is borne; one that
is much too high would keep work from disks that have room for it.
"""

from ffrtmp.domain.spec import Speed, VideoCodec
from ffrtmp.ffmpeg.media import MediaInfo, has_ten_bits
from ffrtmp.ffmpeg.plan import AudioPlan, OutputPlan, VideoPlan

BITS_A_PIXEL = {
    VideoCodec.H264: (20, 0.3, 6),
    VideoCodec.H265: (23, 0.18, 6),
    VideoCodec.AV1: (28, 0.15, 9),
    VideoCodec.VP9: (31, 0.15, 9),
    VideoCodec.VP8: (10, 0.4, 9),
}
"""At this CRF so many bits; twice as many for each so many steps below it."""
RAW_BITS = {8: 12.0, 10: 15.0}
"""Of a pixel of 4:2:0, by depth."""
LOSS = 6.0
HASTE = 1.5
"""The fastest effort spends more for the same quality."""
THRIFTY = frozenset({"h264", "hevc", "av1", "vp9", "vp8", "mpeg4"})
"""What one of these spent so many bits on is hard to compress: noise, water, confetti."""
OVERSHOOT = 1.5
"""Of an average bitrate over a short clip."""
SOUND_BITRATE = 1_500_000
"""Of a copied sound: more than any that is compressed with loss."""
FRAMING = 1.03
LEAST_BYTES = 1 << 16


def output_bytes(output: OutputPlan, source: MediaInfo | None) -> int:
    """`source` is None for a generated one."""
    if output.video is not None and output.video.encoder is None:
        assert source is not None  # what is generated is not copied: it is not encoded yet
        return round(source.size * FRAMING) + LEAST_BYTES + _bytes(_sound_bits(output.audio))
    bits = _sound_bits(output.audio)
    if output.video is not None:
        bits += _picture_bits(output.video, source)
    return _bytes(bits * FRAMING) + LEAST_BYTES


def _bytes(bits: float) -> int:
    return round(bits / 8)


def _sound_bits(audio: AudioPlan | None) -> float:
    if audio is None:
        return 0.0
    return (audio.settings.bitrate or SOUND_BITRATE) * audio.duration * OVERSHOOT


def _picture_bits(video: VideoPlan, source: MediaInfo | None) -> float:
    if video.settings.bitrate is not None:
        return video.settings.bitrate * (video.duration * OVERSHOOT + 1)
    assert video.settings.codec is not None
    usual_crf, usual_bits, steps = BITS_A_PIXEL[video.settings.codec]
    crf = video.settings.crf if video.settings.crf is not None else usual_crf
    depth = 10 if has_ten_bits(video.pixel_format) else 8
    bits = usual_bits * 2 ** ((usual_crf - crf) / steps)
    bits *= HASTE if video.settings.speed is Speed.FASTEST else 1
    if source is not None and (spent := _spent_a_pixel(video, source)):
        bits = min(bits, LOSS * spent)
        bits = max(bits, spent) if video.source.codec in THRIFTY else bits
    return min(bits, RAW_BITS[depth]) * video.width * video.height * video.frames


def _spent_a_pixel(video: VideoPlan, source: MediaInfo) -> float:
    pixels = video.source.width * video.source.height * video.source.packets
    return source.size * 8 / pixels if pixels else 0.0
