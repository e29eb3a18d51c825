"""Where things are: orientations, grids of hypotheses, Fourier coordinates, masks."""
