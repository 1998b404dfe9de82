"""All methods side by side: the same photos, the same paintings, the same measures, and what each costs."""
