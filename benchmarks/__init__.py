"""What Rota costs beside its peers: `python -m benchmarks` prints the table. Trust the ratios, not the figures."""
