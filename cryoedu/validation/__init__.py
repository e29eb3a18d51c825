"""How good a result is: correlation of maps, errors of poses, agreement of classes."""
