/* Lets the n-th change to files below a folder fail, or end the process in the midst of it. Loaded by LD_PRELOAD.
 *
 * fail_arm(folder, n, error): the n-th change from now on fails with this errno; 0: the process dies there instead, with
 * half of a write done. fail_from(1): all later changes fail as well, as on a full disk. fail_count(): changes so far.
 */
#define _GNU_SOURCE
#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/types.h>
#include <unistd.h>

static char folder[PATH_MAX];
static long count, wanted = -1;
static int error_number, lasting;

void fail_arm(const char *below, long n, int error) {
    strncpy(folder, below, sizeof folder - 1);
    count = 0;
    wanted = n;
    error_number = error;
}
void fail_from(int on) { lasting = on; }
long fail_count(void) { return count; }

static int below(const char *path) { return wanted >= 0 && path && !strncmp(path, folder, strlen(folder)); }

static int below_fd(int fd) {
    char name[64], path[PATH_MAX];
    if (wanted < 0) return 0;
    snprintf(name, sizeof name, "/proc/self/fd/%d", fd);
    ssize_t size = readlink(name, path, sizeof path - 1);
    if (size <= 0) return 0;
    path[size] = 0;
    return below(path);
}

static int hit(void) {
    count++;
    if (count != wanted && !(lasting && count > wanted && wanted > 0)) return 0;
    if (!error_number) _exit(9);
    errno = error_number;
    return 1;
}

#define REAL(name) __typeof__(&name) real = (__typeof__(&name))dlsym(RTLD_NEXT, #name)

static int half(void) { return !error_number && count + 1 == wanted; }

ssize_t write(int fd, const void *data, size_t size) {
    REAL(write);
    if (below_fd(fd)) {
        if (half()) real(fd, data, size / 2);
        if (hit()) return -1;
    }
    return real(fd, data, size);
}

#define PWRITE(name, offset)                                                        \
    ssize_t name(int fd, const void *data, size_t size, offset at) {                \
        REAL(name);                                                                 \
        if (below_fd(fd)) {                                                         \
            if (half()) real(fd, data, size / 2, at);                               \
            if (hit()) return -1;                                                   \
        }                                                                           \
        return real(fd, data, size, at);                                            \
    }
PWRITE(pwrite64, off64_t)
PWRITE(pwrite, off_t)

int fsync(int fd) { REAL(fsync); return below_fd(fd) && hit() ? -1 : real(fd); }
int fdatasync(int fd) { REAL(fdatasync); return below_fd(fd) && hit() ? -1 : real(fd); }
int ftruncate(int fd, off_t size) { REAL(ftruncate); return below_fd(fd) && hit() ? -1 : real(fd, size); }
int ftruncate64(int fd, off64_t size) { REAL(ftruncate64); return below_fd(fd) && hit() ? -1 : real(fd, size); }
int rename(const char *from, const char *to) { REAL(rename); return below(to) && hit() ? -1 : real(from, to); }
int unlink(const char *path) { REAL(unlink); return below(path) && hit() ? -1 : real(path); }
int mkdir(const char *path, mode_t mode) { REAL(mkdir); return below(path) && hit() ? -1 : real(path, mode); }

#define OPEN(name)                                                                  \
    int name(const char *path, int flags, ...) {                                    \
        REAL(name);                                                                 \
        mode_t mode = 0;                                                            \
        if (flags & O_CREAT) {                                                      \
            va_list rest;                                                           \
            va_start(rest, flags);                                                  \
            mode = va_arg(rest, mode_t);                                            \
            va_end(rest);                                                           \
            if (below(path) && hit()) return -1;                                    \
        }                                                                           \
        return real(path, flags, mode);                                             \
    }
OPEN(open)
OPEN(open64)
