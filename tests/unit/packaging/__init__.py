"""What an installation of the wheel is and does, with no checkout in sight."""
