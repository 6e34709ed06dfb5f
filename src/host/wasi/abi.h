/* Numbers and layouts of WASI preview1 as guests see them. No functions, nothing of the host. */
#ifndef SV_HOST_WASI_ABI_H
#define SV_HOST_WASI_ABI_H

#include <stdint.h>

enum sv_wasi_errno {
    SV_WASI_OK = 0,
#define ERRNO(name, number) SV_WASI_E##name = number,
#include "host/wasi/errno.def"
#undef ERRNO
    SV_WASI_ENOTCAPABLE = 76
};

enum sv_wasi_filetype {
    SV_WASI_TYPE_UNKNOWN = 0,
    SV_WASI_TYPE_BLOCK = 1,
    SV_WASI_TYPE_CHARACTER = 2,
    SV_WASI_TYPE_DIRECTORY = 3,
    SV_WASI_TYPE_REGULAR = 4,
    SV_WASI_TYPE_DATAGRAM = 5,
    SV_WASI_TYPE_SOCKET = 6,
    SV_WASI_TYPE_SYMLINK = 7
};

enum sv_wasi_rights {
    SV_WASI_RIGHT_DATASYNC = 1 << 0,
    SV_WASI_RIGHT_READ = 1 << 1,
    SV_WASI_RIGHT_SEEK = 1 << 2,
    SV_WASI_RIGHT_SET_FLAGS = 1 << 3,
    SV_WASI_RIGHT_SYNC = 1 << 4,
    SV_WASI_RIGHT_TELL = 1 << 5,
    SV_WASI_RIGHT_WRITE = 1 << 6,
    SV_WASI_RIGHT_ADVISE = 1 << 7,
    SV_WASI_RIGHT_ALLOCATE = 1 << 8,
    SV_WASI_RIGHT_PATH_CREATE_DIRECTORY = 1 << 9,
    SV_WASI_RIGHT_PATH_CREATE_FILE = 1 << 10,
    SV_WASI_RIGHT_PATH_LINK_SOURCE = 1 << 11,
    SV_WASI_RIGHT_PATH_LINK_TARGET = 1 << 12,
    SV_WASI_RIGHT_PATH_OPEN = 1 << 13,
    SV_WASI_RIGHT_READDIR = 1 << 14,
    SV_WASI_RIGHT_PATH_READLINK = 1 << 15,
    SV_WASI_RIGHT_PATH_RENAME_SOURCE = 1 << 16,
    SV_WASI_RIGHT_PATH_RENAME_TARGET = 1 << 17,
    SV_WASI_RIGHT_PATH_FILESTAT_GET = 1 << 18,
    SV_WASI_RIGHT_PATH_FILESTAT_SET_SIZE = 1 << 19,
    SV_WASI_RIGHT_PATH_FILESTAT_SET_TIMES = 1 << 20,
    SV_WASI_RIGHT_FILESTAT_GET = 1 << 21,
    SV_WASI_RIGHT_FILESTAT_SET_SIZE = 1 << 22,
    SV_WASI_RIGHT_FILESTAT_SET_TIMES = 1 << 23,
    SV_WASI_RIGHT_PATH_SYMLINK = 1 << 24,
    SV_WASI_RIGHT_PATH_REMOVE_DIRECTORY = 1 << 25,
    SV_WASI_RIGHT_PATH_UNLINK_FILE = 1 << 26,
    SV_WASI_RIGHT_POLL = 1 << 27,
    SV_WASI_RIGHT_SHUTDOWN = 1 << 28,
    SV_WASI_RIGHT_ACCEPT = 1 << 29
};
/* What changes the contents of a file. */
#define SV_WASI_RIGHTS_WRITE                                                                       \
    (SV_WASI_RIGHT_WRITE | SV_WASI_RIGHT_ALLOCATE | SV_WASI_RIGHT_FILESTAT_SET_SIZE)
#define SV_WASI_RIGHTS_MOVE (SV_WASI_RIGHT_SEEK | SV_WASI_RIGHT_TELL | SV_WASI_RIGHT_ADVISE)
#define SV_WASI_RIGHTS_ANY                                                                         \
    (SV_WASI_RIGHT_DATASYNC | SV_WASI_RIGHT_SYNC | SV_WASI_RIGHT_SET_FLAGS |                       \
     SV_WASI_RIGHT_FILESTAT_GET | SV_WASI_RIGHT_FILESTAT_SET_TIMES | SV_WASI_RIGHT_POLL)
#define SV_WASI_RIGHTS_FILE                                                                        \
    (SV_WASI_RIGHTS_ANY | SV_WASI_RIGHTS_WRITE | SV_WASI_RIGHTS_MOVE | SV_WASI_RIGHT_READ)
/* Of directories only. */
#define SV_WASI_RIGHTS_PATH                                                                        \
    (SV_WASI_RIGHT_PATH_CREATE_DIRECTORY | SV_WASI_RIGHT_PATH_CREATE_FILE |                        \
     SV_WASI_RIGHT_PATH_LINK_SOURCE | SV_WASI_RIGHT_PATH_LINK_TARGET | SV_WASI_RIGHT_PATH_OPEN |   \
     SV_WASI_RIGHT_READDIR | SV_WASI_RIGHT_PATH_READLINK | SV_WASI_RIGHT_PATH_RENAME_SOURCE |      \
     SV_WASI_RIGHT_PATH_RENAME_TARGET | SV_WASI_RIGHT_PATH_FILESTAT_GET |                          \
     SV_WASI_RIGHT_PATH_FILESTAT_SET_SIZE | SV_WASI_RIGHT_PATH_FILESTAT_SET_TIMES |                \
     SV_WASI_RIGHT_PATH_SYMLINK | SV_WASI_RIGHT_PATH_REMOVE_DIRECTORY |                            \
     SV_WASI_RIGHT_PATH_UNLINK_FILE)
#define SV_WASI_RIGHTS_DIR (SV_WASI_RIGHTS_ANY | SV_WASI_RIGHTS_PATH)
#define SV_WASI_RIGHTS_SOCKET                                                                      \
    (SV_WASI_RIGHT_READ | SV_WASI_RIGHT_WRITE | SV_WASI_RIGHT_SET_FLAGS |                          \
     SV_WASI_RIGHT_FILESTAT_GET | SV_WASI_RIGHT_POLL | SV_WASI_RIGHT_SHUTDOWN |                    \
     SV_WASI_RIGHT_ACCEPT)

enum sv_wasi_fdflags {
    SV_WASI_FD_APPEND = 1 << 0,
    SV_WASI_FD_DSYNC = 1 << 1,
    SV_WASI_FD_NONBLOCK = 1 << 2,
    SV_WASI_FD_RSYNC = 1 << 3,
    SV_WASI_FD_SYNC = 1 << 4,
    SV_WASI_FD_ALL = (1 << 5) - 1
};
enum sv_wasi_oflags {
    SV_WASI_O_CREAT = 1 << 0,
    SV_WASI_O_DIRECTORY = 1 << 1,
    SV_WASI_O_EXCL = 1 << 2,
    SV_WASI_O_TRUNC = 1 << 3,
    SV_WASI_O_ALL = (1 << 4) - 1
};
enum sv_wasi_lookup { SV_WASI_LOOKUP_FOLLOW = 1 << 0 };
enum sv_wasi_fstflags {
    SV_WASI_FST_ATIM = 1 << 0,
    SV_WASI_FST_ATIM_NOW = 1 << 1,
    SV_WASI_FST_MTIM = 1 << 2,
    SV_WASI_FST_MTIM_NOW = 1 << 3,
    SV_WASI_FST_ALL = (1 << 4) - 1
};
enum sv_wasi_clock {
    SV_WASI_CLOCK_REALTIME,
    SV_WASI_CLOCK_MONOTONIC,
    SV_WASI_CLOCK_PROCESS,
    SV_WASI_CLOCK_THREAD,
    SV_WASI_CLOCK_COUNT
};
enum sv_wasi_event_type { SV_WASI_EVENT_CLOCK, SV_WASI_EVENT_READ, SV_WASI_EVENT_WRITE };
enum sv_wasi_event_flags { SV_WASI_EVENT_HANGUP = 1 << 0 };
enum sv_wasi_subclock { SV_WASI_SUBCLOCK_ABSTIME = 1 << 0 };
enum sv_wasi_riflags { SV_WASI_RECV_PEEK = 1 << 0, SV_WASI_RECV_WAITALL = 1 << 1 };
enum sv_wasi_roflags { SV_WASI_RECV_TRUNCATED = 1 << 0 };
enum sv_wasi_sdflags { SV_WASI_SHUT_RD = 1 << 0, SV_WASI_SHUT_WR = 1 << 1 };

/* Layouts. Guests are little-endian and so are the hosts that are supported. */
struct sv_wasi_abi_iovec {
    uint32_t ptr, len;
};
struct sv_wasi_abi_fdstat {
    uint8_t filetype, pad0;
    uint16_t flags;
    uint32_t pad1;
    uint64_t rights, inheriting;
};
struct sv_wasi_abi_filestat {
    uint64_t dev, ino;
    uint8_t filetype, pad[7];
    uint64_t nlink, size, atim, mtim, ctim;
};
struct sv_wasi_abi_filestat_p0 {
    uint64_t dev, ino;
    uint8_t filetype, pad[3];
    uint32_t nlink;
    uint64_t size, atim, mtim, ctim;
};
struct sv_wasi_abi_prestat {
    uint8_t tag, pad[3]; /* 0 = directory */
    uint32_t name_len;
};
struct sv_wasi_abi_dirent {
    uint64_t next, ino;
    uint32_t name_len;
    uint8_t filetype, pad[3];
};
struct sv_wasi_abi_subscription {
    uint64_t userdata;
    uint8_t type, pad[7];
    union {
        struct {
            uint32_t id, pad;
            uint64_t timeout, precision;
            uint16_t flags, pad1[3];
        } clock;
        uint32_t fd;
    };
};
struct sv_wasi_abi_subscription_p0 {
    uint64_t userdata;
    uint8_t type, pad[7];
    union {
        struct {
            uint64_t identifier;
            uint32_t id, pad;
            uint64_t timeout, precision;
            uint16_t flags, pad1[3];
        } clock;
        uint32_t fd;
    };
};
struct sv_wasi_abi_event {
    uint64_t userdata;
    uint16_t error;
    uint8_t type, pad[5];
    uint64_t nbytes;
    uint16_t flags, pad1[3];
};
_Static_assert(sizeof(struct sv_wasi_abi_fdstat) == 24, "preview1 layout");
_Static_assert(sizeof(struct sv_wasi_abi_filestat) == 64, "preview1 layout");
_Static_assert(sizeof(struct sv_wasi_abi_filestat_p0) == 56, "preview0 layout");
_Static_assert(sizeof(struct sv_wasi_abi_prestat) == 8, "preview1 layout");
_Static_assert(sizeof(struct sv_wasi_abi_dirent) == 24, "preview1 layout");
_Static_assert(sizeof(struct sv_wasi_abi_subscription) == 48, "preview1 layout");
_Static_assert(sizeof(struct sv_wasi_abi_subscription_p0) == 56, "preview0 layout");
_Static_assert(sizeof(struct sv_wasi_abi_event) == 32, "preview1 layout");

#endif
