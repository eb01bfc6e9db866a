"""The model as it travels to the Hub: these files import each other and libraries only."""
