/* Keys of session tickets: shared, read alone by workers, and replaced in turn. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <fcntl.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "serve/ticket.h"

static void shared_and_rotated(void **state)
{
    struct srv_ticket_key first[SRV_TICKET_KEYS], second[SRV_TICKET_KEYS];
    const struct srv_tickets *worker;
    struct srv_tickets *tickets;
    int fd;

    (void)state;
    tickets = srv_tickets_new(&fd);
    assert_non_null(tickets);
    assert_int_equal(fcntl(fd, F_GETFL) & O_ACCMODE, O_RDONLY);
    assert_ptr_equal(mmap(NULL, 4096, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0), MAP_FAILED);
    worker = srv_tickets_open(fd);
    assert_non_null(worker);
    srv_tickets_read(worker, first);
    assert_memory_not_equal(&first[0], &first[1], sizeof first[0]);
    srv_tickets_rotate(tickets);
    srv_tickets_read(worker, second);
    assert_memory_equal(&second[1], &first[0], sizeof first[0]);
    assert_memory_not_equal(&second[0], &first[0], sizeof first[0]);
    srv_tickets_rotate(tickets);
    srv_tickets_rotate(tickets);
    srv_tickets_read(worker, second);
    for (unsigned i = 0; i < SRV_TICKET_KEYS; i++)
        assert_memory_not_equal(&second[i], &first[0], sizeof first[0]);
    srv_tickets_close(worker);
    srv_tickets_close(tickets);
    assert_null(srv_tickets_open(-1));
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(shared_and_rotated)};

    return cmocka_run_group_tests(tests, NULL, NULL);
}
