/* The C headers: a command is run, a record stored, the meter read, a byte sent to itself. */
#include <stdio.h>

#include "ssvm_meter.h"
#include "ssvm_process.h"
#include "ssvm_socket.h"
#include "ssvm_storage.h"

static int send_to_itself(void)
{
    struct ssvm_socket_tagged tagged;
    struct ssvm_socket_address address = ssvm_socket_address_of(&tagged);
    struct ssvm_socket_bytes out = {"x", 1}, in;
    uint32_t n = 0, port = 0, flags = 0;
    char byte = 0;
    int32_t fd;

    in.at = &byte;
    in.len = 1;
    ssvm_socket_inet4(&tagged, 127, 0, 0, 1);
    return ssvm_socket_open(SSVM_SOCKET_INET4, SSVM_SOCKET_DATAGRAM, &fd) == 0 &&
           ssvm_socket_bind(fd, &address, 0) == 0 && ssvm_socket_local(fd, &address, &port) == 0 &&
           ssvm_socket_send_to(fd, &out, 1, &address, port, 0, &n) == 0 && n == 1 &&
           ssvm_socket_recv_from(fd, &in, 1, &address, 0, &port, &n, &flags) == 0 && byte == 'x';
}

int main(void)
{
    const char *const argv[] = {"echo", "a", "b", NULL};
    struct ssvm_storage_key key;
    char text[16] = "";
    int good = ssvm_process_run_argv(argv) == 0 && ssvm_process_get_stdout_len() == 4;

    if (good)
        ssvm_process_get_stdout(text);
    ssvm_storage_new_key(&key);
    ssvm_storage_begin_store(&key);
    ssvm_storage_store_i32(7);
    ssvm_storage_end_store();
    ssvm_storage_begin_load(&key);
    good = good && ssvm_storage_load_i32() == 7 && strlen(key.text) == 32;
    ssvm_storage_end_load();
    printf("%s%d %d %d\n", text, good, send_to_itself(), ssvm_memory_used() > 0);
    return 0;
}
