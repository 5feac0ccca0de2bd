"""Real videos from what a job asks: pictures in motion, drawn scenes, sound."""
