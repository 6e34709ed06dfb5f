/* Exit statuses of the server's processes. */
#ifndef SERVE_STATUS_H
#define SERVE_STATUS_H

#define SRV_STATUS_ERROR 1
#define SRV_STATUS_USAGE 2

#endif
