"""Files: clips, pictures, results, output folders, object stores."""
