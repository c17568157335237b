"""Images as the inputs of networks: preprocessed, augmented, cropped."""
