/* bcryptprimitives.dll for Wine before 9, which lacks the function that Rust's standard library gets its random numbers from. */
#include <windows.h>

BOOLEAN NTAPI SystemFunction036(PVOID, ULONG); /* RtlGenRandom */

__declspec(dllexport) BOOL WINAPI ProcessPrng(PBYTE bytes, SIZE_T left)
{
    while (left) {
        ULONG count = left > 65536 ? 65536 : (ULONG)left;
        if (!SystemFunction036(bytes, count))
            return FALSE;
        bytes += count;
        left -= count;
    }
    return TRUE;
}
