"""What the documentation is made with. Its pages lie beside."""
