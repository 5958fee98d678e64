/* Exercises of processes and memory in a guest: each prints `ok NAME` or `not ok NAME`. */
#include <stdio.h>

int main(void) {
    puts("ok start");
    return 0;
}
