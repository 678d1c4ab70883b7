"""The supervisor: the safety net that admits activations and sweeps rows, actors and platforms."""
