"""Step 1, what is made of each image: preprocessed views, keypoints with descriptors, thumbnails."""
