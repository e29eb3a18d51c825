"""What compares with a truth or with the other half (FSC, pose errors, class agreement): measures of arrays."""
