/* Tokens, in a memfd of a page each. See token.h. */
#include "serve/token.h"

#include <fcntl.h>
#include <stdatomic.h>
#include <stdint.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#define BYTES 4096 /* less would be a page all the same */

/* Nobody can make it smaller, which would end who looks at it with SIGBUS. */
#define SEALS (F_SEAL_SHRINK | F_SEAL_GROW | F_SEAL_SEAL)

struct srv_token {
    _Atomic uint64_t there;
};

own int srv_token_new(void)
{
    int fd = memfd_create("ssvm-token", MFD_CLOEXEC | MFD_ALLOW_SEALING);

    if (fd >= 0 && (ftruncate(fd, BYTES) < 0 || fcntl(fd, F_ADD_SEALS, SEALS) < 0)) {
        close(fd);
        return -1;
    }
    return fd;
}

own struct srv_token *srv_token_open(own int fd)
{
    void *at = MAP_FAILED;
    struct stat st;

    if (fd < 0)
        return NULL;
    if (fstat(fd, &st) == 0 && st.st_size == BYTES && (fcntl(fd, F_GET_SEALS) & SEALS) == SEALS)
        at = mmap(NULL, BYTES, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
    close(fd);
    return at == MAP_FAILED ? NULL : at;
}

void srv_token_close(own struct srv_token *token)
{
    if (token)
        munmap(token, BYTES);
}

void srv_token_put(struct srv_token *token)
{
    atomic_store(&token->there, 1);
}

bool srv_token_take(struct srv_token *token)
{
    return atomic_exchange(&token->there, 0) != 0;
}
