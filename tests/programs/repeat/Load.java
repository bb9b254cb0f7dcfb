// SPDX-License-Identifier: MIT
// Endless work for tests/repeat: threads that make garbage for the JVM's collector, and code for its compilers.
import java.util.*;
import java.util.concurrent.*;

public class Load {
    static final ConcurrentHashMap<Integer, String> shared = new ConcurrentHashMap<>();
    static volatile long total;

    static long work(int n) {
        List<String> list = new ArrayList<>();
        for (int i = 0; i < 500; i++) {
            list.add("item " + (i * 31 + n) % 997);
            shared.merge(i % 100, "" + n, (a, b) -> a.length() > 50 ? b : a + b);
        }
        Collections.sort(list);
        return String.join(",", list).hashCode();
    }

    public static void main(String[] args) throws Exception {
        ExecutorService pool = Executors.newFixedThreadPool(4);
        for (int n = 0;; n++) {
            List<Future<Long>> results = new ArrayList<>();
            for (int i = 0; i < 8; i++) {
                final int k = n + i;
                results.add(pool.submit(() -> work(k)));
            }
            for (Future<Long> r : results)
                total += r.get();
            if (n % 50 == 10)
                System.out.println("ready " + n + " " + total);
        }
    }
}
