/*
 * What pppd calls in place of dlopen and its kin: the plugin for PPPoE, which is part of the program.
 */
#include <string.h>

extern void plugin_init(void);
/* The version that the plugin was made for. */
extern char pppd_version[];

static int is_open;

void *builtin_open(const char *path, int flags)
{
    const char *slash = strrchr(path, '/');
    const char *name = slash ? slash + 1 : path;
    (void)flags;
    is_open = !strcmp(name, "pppoe.so") || !strcmp(name, "rp-pppoe.so");
    return is_open ? &is_open : 0;
}

void *builtin_symbol(void *handle, const char *name)
{
    (void)handle;
    if (!strcmp(name, "plugin_init"))
        return (void *)plugin_init;
    if (!strcmp(name, "pppd_version"))
        return pppd_version;
    return 0;
}

int dlclose(void *handle)
{
    (void)handle;
    return 0;
}

char *dlerror(void)
{
    return "only pppoe.so is part of this program";
}
