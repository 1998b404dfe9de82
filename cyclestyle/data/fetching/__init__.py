"""Pictures that others publish, brought here whole: downloaded or handed over, unpacked safely, verified, counted."""
