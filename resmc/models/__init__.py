"""What a network is: its description, and the activations that it may have."""
