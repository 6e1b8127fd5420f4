/*
 * Not a claim: the Python interpreter as a PIE, for ranges that Debian's own, linked to a fixed
 * address, cannot be in. The interpreter is the shared library.
 */
#include <dlfcn.h>
#include <glob.h>
#include <stdio.h>

int main(int argc, char **argv)
{
	int (*run)(int, char **) = NULL;
	void *lib = NULL;
	glob_t found;

	if (glob("/usr/lib/x86_64-linux-gnu/libpython3.*.so.1.0", 0, NULL, &found) == 0)
		lib = dlopen(found.gl_pathv[0], RTLD_NOW | RTLD_GLOBAL);
	if (lib)
		*(void **)&run = dlsym(lib, "Py_BytesMain");
	if (!run) {
		fprintf(stderr, "python: libpython3 is not installed\n");
		return 77;
	}
	return run(argc, argv);
}
