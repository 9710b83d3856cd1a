/* Says how many colours the terminal has that TERM names, by the library's own descriptions. */
#include <curses.h>
#include <stdio.h>
#include <stdlib.h>
#include <term.h>

int main(void)
{
    int error;
    if (setupterm(NULL, 1, &error) != OK)
        return 1;
    printf("%s: %d colours\n", getenv("TERM"), tigetnum("colors"));
    return 0;
}
