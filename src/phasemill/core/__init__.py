"""The ground floor shared by all wings: kernels, store, training loop, metrics, figures. Imports no wing."""
