/* What a configure script would find out of this compiler, of musl and of a kernel of today. */
#define PACKAGE "kmod"
#define KMOD_FEATURES "-ZSTD -XZ -ZLIB -LIBCRYPTO"
#define SYSCONFDIR "/etc"
#define ENABLE_LOGGING 1
#define HAVE_SECURE_GETENV 1
#define HAVE_DECL_STRNDUPA 0
#define HAVE_DECL_BE32TOH 1
#define HAVE_STRUCT_STAT_ST_MTIM 1
#define HAVE_STATIC_ASSERT 1
#define HAVE_NORETURN 1
#define HAVE___BUILTIN_CLZ 1
#define HAVE___BUILTIN_TYPES_COMPATIBLE_P 1
#define HAVE___BUILTIN_UADDL_OVERFLOW 1
#define HAVE___BUILTIN_UADDLL_OVERFLOW 1
#define HAVE_LINUX_MODULE_H 1

/* glibc's basename, which leaves its argument alone; musl has the other one of that name. */
#include <string.h>
static inline const char *last_part(const char *path)
{
    const char *slash = strrchr(path, '/');
    return slash ? slash + 1 : path;
}
#define basename(path) last_part(path)
