"""The microscope: what becomes of a density on its way to the images, and back."""
