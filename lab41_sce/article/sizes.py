"""The sizes of the original's training, and the larger sizes at which `timing.py` measures the losses."""

BATCH = 256  # mixtures per update
FRAMES, BINS = 40, 257  # of a mixture
EMBEDDING_SIZE = 40
UNITS = 300  # of each BLSTM layer, in each direction
SPEAKERS = 251  # known in training
SOURCES = 2  # in a mixture
UPDATES = 92_000

MORE_FRAMES = (100, 400)
MORE_SPEAKERS = (2338, 100_000)
MORE_NEGATIVES = (4, 16)
