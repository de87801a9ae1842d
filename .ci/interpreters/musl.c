// Python's command line for a program that embeds it: loaded with the program, it takes the place of `main`.
int Py_BytesMain(int, char **);
void *dlsym(void *, const char *);

static int run(int argc, char **argv, char **environment) {
    (void)environment;
    return Py_BytesMain(argc, argv);
}

int __libc_start_main(int (*program)(int, char **, char **), int argc, char **argv, void (*init)(void), void (*fini)(void),
                      void (*loader_fini)(void)) {
    (void)program;
    // RTLD_NEXT: musl's own.
    void *next = dlsym((void *)-1L, "__libc_start_main");
    return ((__typeof__(&__libc_start_main))next)(run, argc, argv, init, fini, loader_fini);
}
