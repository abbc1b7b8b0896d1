int probe();

int main(int count, char**) { return count > 1 ? probe() : 0; }  // it is linked, and needs no GPU to run
