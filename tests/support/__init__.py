"""What several tests need: files, servers, models and reports made for them."""
