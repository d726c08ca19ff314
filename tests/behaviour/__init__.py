"""What iSDF promises, tried in the premises: the real kernel, real traffic, real processes."""
