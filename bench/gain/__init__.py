"""What cleansing gains a classifier where it is known how many labels are wrong."""
