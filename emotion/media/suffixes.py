"""File suffixes of sound, video and images."""

AUDIO = frozenset(".aac .aif .aiff .flac .m4a .mka .mp2 .mp3 .oga .ogg .opus .wav .wma".split())
VIDEO = frozenset(".3gp .avi .flv .m4v .mkv .mov .mp4 .mpeg .mpg .mts .ogv .ts .webm .wmv".split())
IMAGES = frozenset(".bmp .jpeg .jpg .png .tif .tiff .webp".split())
