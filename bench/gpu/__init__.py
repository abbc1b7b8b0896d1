"""What `python -m bench.gpu_check` runs: parity, speed, baselines and the sanitizer, each also by itself."""
