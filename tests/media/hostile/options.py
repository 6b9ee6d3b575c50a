"""Raw arguments: what each could do, and that none of it passes the allow-list."""

from tests.media.hostile.ground import Ground, Trap, hostile, raw

REFUSED = "is not valid: allowed are tune, profile:v, level, g, "
TO_NOTHING = ("-f", "null", "-")


def option(kind: str, name: str, value: str, *more: str) -> None:
    """`{}` in the value is the folder outside. `more`: other words that plain FFmpeg needs."""

    def make(ground: Ground) -> Trap:
        told = value.format(ground.outside)
        rest = [word.format(ground.outside) for word in more] or TO_NOTHING
        plain = ["-v", "error", "-i", ground.film, f"-{name}", told, *rest]
        return Trap(plain=plain, job=raw(name, told), says=REFUSED)

    make.__name__ = f"-{name} {value.format('X')}"
    hostile(kind)(make)


option("filter option", "vf", "movie={}/secret.ts[m];[in][m]overlay")
option("filter option", "vf", "lut3d={}/secret.srt")
option("filter option", "vf", "sendcmd=f={}/secret.srt")
option("filter option", "vf", "metadata=print:file={}/new.txt")
option("filter option", "vf", "drawtext=textfile={}/secret.srt")
option("filter option", "filter_complex", "movie={}/secret.ts")
option("filter option", "/filter:v", "{}/secret.srt")
option("font", "vf", "drawtext=text=x:fontfile={}/secret.ttf")
option("font", "vf", "subtitles={}/secret.srt:fontsdir={}/fonts".replace("{}", "{0}"))
option("font", "attach", "{}/secret.ttf", "-c", "copy", "-y", "attached.mkv")
option("font", "attach", "{}/secret.srt", "-metadata:s:t", "mimetype=font/ttf", "attached.mkv")
option("subtitle path", "vf", "subtitles={}/secret.srt")
option("subtitle path", "vf", "ass={}/secret.srt")
option("subtitle path", "i", "{}/secret.srt")
option("tee", "f", "tee", "-map", "0", "-c", "copy", "[f=mpegts]{0}/one.ts|[f=mpegts]{0}/two.ts")
option("subfile", "vf", r"movie='subfile,,start,0,end,0,,\:{}/secret.ts'[m];[in][m]overlay")
option("protocol", "vf", r"movie='cache\:{}/secret.ts'[m];[in][m]overlay")
option("other", "passlogfile", "{}/log", "-pass", "1", "-c:v", "libx264", *TO_NOTHING)
option("other", "progress", "{}/progress.txt")
option("other", "vstats_file", "{}/stats.txt")
option("other", "x264-params", "pass=1:stats={}/x264.log", "-c:v", "libx264", *TO_NOTHING)
