"""Kernels of the recurrent operators: RNN, GRU, LSTM."""
