"""What people look at: views of a function, its graph drawn, how long it takes and what the machine allows."""
