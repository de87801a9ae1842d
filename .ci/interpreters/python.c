// Python's command line for a program that embeds it: loaded with the program, it takes the place of `main`.
#define _GNU_SOURCE
#include <Python.h>
#include <dlfcn.h>

static int run_command(const PyConfig *config) {
    PyObject *command = PyUnicode_FromWideChar(config->run_command, -1);
    PyObject *path = PySys_GetObject("path"), *here = PyUnicode_FromString("");
    if (!config->safe_path && path) PyList_Insert(path, 0, here);
    PyCompilerFlags flags = {0, PY_MINOR_VERSION};
    return PyRun_SimpleStringFlags(PyUnicode_AsUTF8(command), &flags);
}

static int run_module(const PyConfig *config) {
    PyDict_SetItemString(PyModule_GetDict(PyImport_AddModule("__main__")), "name", PyUnicode_FromWideChar(config->run_module, -1));
    if (!config->safe_path) PyRun_SimpleString("import os, sys; sys.path.insert(0, os.getcwd())");
    return PyRun_SimpleString("import runpy; runpy._run_module_as_main(name)");
}

static int run_file(const PyConfig *config) {
    PyObject *name = PyUnicode_FromWideChar(config->run_filename, -1);
    FILE *file = fopen(PyUnicode_AsUTF8(name), "rb");
    if (!file) {
        perror(PyUnicode_AsUTF8(name));
        return 2;
    }
    if (!config->safe_path) {
        PyRun_SimpleString("import os, sys; sys.path.insert(0, os.path.dirname(os.path.realpath(sys.argv[0])))");
    }
    return PyRun_AnyFileExFlags(file, PyUnicode_AsUTF8(name), 1, NULL);
}

static int run(int argc, char **argv, char **environment) {
    (void)environment;
    PyPreConfig before;
    PyPreConfig_InitPythonConfig(&before);
    PyStatus status = Py_PreInitializeFromBytesArgs(&before, argc, argv);
    PyConfig config;
    PyConfig_InitPythonConfig(&config);
    if (!PyStatus_Exception(status)) status = PyConfig_SetBytesArgv(&config, argc, argv);
    if (!PyStatus_Exception(status)) status = PyConfig_Read(&config);
    if (!PyStatus_Exception(status)) status = Py_InitializeFromConfig(&config);
    if (PyStatus_IsExit(status)) return status.exitcode;
    if (PyStatus_Exception(status)) {
        fprintf(stderr, "%s: %s\n", argv[0], status.err_msg);
        return 1;
    }
    int outcome;
    if (config.run_command) outcome = run_command(&config);
    else if (config.run_module) outcome = run_module(&config);
    else if (config.run_filename) outcome = run_file(&config);
    else outcome = PyRun_AnyFileExFlags(stdin, "<stdin>", 0, NULL);
    if (Py_FinalizeEx() < 0) return 120;
    return outcome ? 1 : 0;
}

int __libc_start_main(int (*)(int, char **, char **), int argc, char **argv, void (*init)(void), void (*fini)(void),
                      void (*loader_fini)(void), void *stack_end) {
    __typeof__(&__libc_start_main) start = (__typeof__(&__libc_start_main))dlsym(RTLD_NEXT, "__libc_start_main");
    return start(run, argc, argv, init, fini, loader_fini, stack_end);
}
