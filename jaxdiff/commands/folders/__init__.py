"""What commands over folders of images share: the loop, its options, and results that a killed run leaves in order."""
