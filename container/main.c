/*
 * The static program: CPython with differ inside.  Of its own it reads nothing from the file system
 * and nothing from the environment but whether BuildKit has started it (differ/__main__.py); no /proc,
 * /dev or /tmp is needed.
 */
#include <Python.h>
#include <fcntl.h>
#include <signal.h>
#include <stdint.h>
#include <sys/mman.h>
#include <unistd.h>

extern const struct _frozen program_modules[]; /* written by freeze.py */
extern PyObject *PyInit__suspects(void);

static const int TROUBLE = 2; /* the exit status for everything that is not a result */

/*
 * A closed standard stream becomes one that cannot be used: a pipe without its other end, open in
 * the direction in which it is not asked for.  So no file that is opened later takes its number, and
 * a result that nobody can get is an error.  /dev/null would swallow it, and may not be there.
 */
static void occupy_streams(void)
{
    for (int fd = 0; fd < 3; fd++) {
        int ends[2];
        if (fcntl(fd, F_GETFD) >= 0)
            continue;
        if (pipe(ends) < 0) /* the lower end gets the lowest free number, which is fd */
            _exit(TROUBLE);
        close(ends[1]);
    }
}

/*
 * CPython writes to nearly every page of its data when it starts.  To ask for them all at once is one call in the place of
 * three hundred page faults, a thirtieth of a small run.  Kernels before 5.14 know no such call, and nothing is lost.
 */
static void touch_data(void)
{
#ifdef MADV_POPULATE_WRITE
    extern char __data_start[], edata[];
    uintptr_t page = (uintptr_t)sysconf(_SC_PAGESIZE), begin = (uintptr_t)__data_start / page * page;

    madvise((void *)begin, (uintptr_t)edata - begin, MADV_POPULATE_WRITE);
#endif
}

static PyStatus start(int argc, char **argv)
{
    PyPreConfig before;
    PyConfig config;
    PyStatus status;

    PyImport_FrozenModules = program_modules;
    PyPreConfig_InitIsolatedConfig(&before);
    before.utf8_mode = 1; /* names are bytes; what is not UTF-8 becomes surrogates and back */
    before.configure_locale = 0;
    status = Py_PreInitialize(&before);
    if (PyStatus_Exception(status))
        return status;

    PyConfig_InitIsolatedConfig(&config);
    config.parse_argv = 0;
    config.site_import = 0;
    config.use_frozen_modules = 1;
    config.module_search_paths_set = 1; /* to nothing */
    config.pathconfig_warnings = 0;
    config.optimization_level = 2;
    config.install_signal_handlers = 0;
    /* Set, so that nothing is looked for on the disk to compute them. */
    wchar_t **paths[] = {&config.prefix, &config.exec_prefix, &config.base_prefix,
                         &config.base_exec_prefix, &config.home, &config.executable,
                         &config.base_executable, &config.program_name};
    for (size_t i = 0; i < sizeof paths / sizeof *paths && !PyStatus_Exception(status); i++)
        status = PyConfig_SetString(&config, paths[i], L"/");
    if (!PyStatus_Exception(status))
        status = PyConfig_SetBytesArgv(&config, argc, argv);
    if (!PyStatus_Exception(status))
        status = Py_InitializeFromConfig(&config);
    PyConfig_Clear(&config);
    return status;
}

/* Call differ.__main__.command(); its exit status, or TROUBLE with a traceback on stderr. */
static int run(void)
{
    long code = TROUBLE;
    PyObject *compiled = PyInit__suspects();
    int known = compiled && !PyDict_SetItemString(PyImport_GetModuleDict(), "differ._suspects", compiled);
    PyObject *module = known ? PyImport_ImportModule("differ.__main__") : NULL;
    PyObject *result = module ? PyObject_CallMethod(module, "command", NULL) : NULL;

    if (result)
        code = PyLong_AsLong(result);
    if (PyErr_Occurred()) {
        if (PyErr_ExceptionMatches(PyExc_MemoryError))
            fputs("differ: out of memory\n", stderr);
        else
            PyErr_Print();
        return TROUBLE;
    }
    return (int)code;
}

int main(int argc, char **argv)
{
    PyStatus status;
    sigset_t held;

    /*
     * What asks for an end is held until differ listens (cli.py, or __main__.py for the other roles):
     * CPython would answer with a traceback, and process 1 would never hear of it.
     */
    sigemptyset(&held);
    sigaddset(&held, SIGHUP);
    sigaddset(&held, SIGINT);
    sigaddset(&held, SIGTERM);
    sigprocmask(SIG_BLOCK, &held, NULL);
    touch_data();
    occupy_streams();
    /* As CPython does elsewhere: a reader who has gone and a file too large are errors to be handled. */
    signal(SIGPIPE, SIG_IGN);
    signal(SIGXFSZ, SIG_IGN);
    status = start(argc, argv);
    if (PyStatus_Exception(status)) {
        fprintf(stderr, "differ: cannot start: %s\n", status.err_msg ? status.err_msg : "out of memory");
        return TROUBLE;
    }
    /* Each role has flushed what it writes: to take the interpreter apart would only cost time. */
    _exit(run());
}
