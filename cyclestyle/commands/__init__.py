"""What a user types: one module, one public function of the same name each."""
