"""Recordings of people who speak at once in, one signal for each speaker out.

A reproduction of source-contrastive estimation (Stephenson, Callier, Ganesh, Ni, 2017, arXiv:1705.04662) in Keras
and TensorFlow: corpora, mixtures, networks, the article's systems, their training, scoring and report.
"""

__version__ = "0.1.0"
