"""Results on disk: records, curves, gates, times and tests of weights; and the folders of runs."""
