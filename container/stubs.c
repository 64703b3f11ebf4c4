/*
 * What parts of CPython that are never reached would have linked in: the dynamic loader (extension
 * modules) and glibc's name service (group lists), neither of which works in a static program.
 */
#include <dlfcn.h>
#include <errno.h>
#include <grp.h>
#include <stddef.h>

void *dlopen(const char *path, int mode)
{
    (void)path, (void)mode;
    return NULL;
}

void *dlsym(void *handle, const char *name)
{
    (void)handle, (void)name;
    return NULL;
}

char *dlerror(void)
{
    return "this program loads no code";
}

int getgrouplist(const char *user, gid_t group, gid_t *groups, int *count)
{
    (void)user, (void)group, (void)groups, (void)count;
    errno = ENOSYS;
    return -1;
}

int initgroups(const char *user, gid_t group)
{
    (void)user, (void)group;
    errno = ENOSYS;
    return -1;
}
