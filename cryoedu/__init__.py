"""cryoedu: single-particle cryo-EM image refinement, to learn it by doing it."""

__version__ = "0.1.0"
