"""How good a result is: correlation of maps and averages, errors of poses, agreement of classes."""
