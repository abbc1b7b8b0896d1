// Draws normals by MKL's vsRngGaussian and nothing else, to have its instructions counted:
//     mkl_normals LIBRARY GENERATOR METHOD BLOCK CALLS
#include <dlfcn.h>
#include <stdio.h>
#include <stdlib.h>

int main(int n, char** words) {
    if (n != 6) return 2;
    void* const library = dlopen(words[1], RTLD_NOW | RTLD_GLOBAL);
    if (library == NULL) {
        fprintf(stderr, "%s\n", dlerror());
        return 1;
    }
    int (*const new_stream)(void**, int, unsigned) = (int (*)(void**, int, unsigned))dlsym(library, "vslNewStream");
    int (*const gaussian)(int, void*, int, float*, float, float) =
        (int (*)(int, void*, int, float*, float, float))dlsym(library, "vsRngGaussian");
    const int block = atoi(words[4]);
    float* const out = malloc(sizeof(float) * (size_t)block);
    void* stream = NULL;
    if (out == NULL || new_stream(&stream, atoi(words[2]) << 20, 1u) != 0) return 1;
    for (int i = atoi(words[5]); i > 0; --i)
        if (gaussian(atoi(words[3]), stream, block, out, 0.0f, 1.0f) != 0) return 1;
    printf("%g\n", (double)out[block - 1]);
    return 0;
}
