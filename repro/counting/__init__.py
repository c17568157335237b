"""Parameters and FLOPs of a network, counted without initialising or downloading a weight."""
