//! The integer program by itself, against all answers of tiny ones, and on sizes that a table could not hold.

use super::super::program::{Group, Program, Segment};
use super::Random;
use crate::optimizer::Stop;

fn random_program(random: &mut Random) -> Program {
    let rows = random.within(0, 3);
    let group = |random: &mut Random| {
        let mut slope = i128::from(random.within(-20, 5));
        let segments = (0..random.within(1, 3)).map(|_| {
            slope += i128::from(random.within(0, 8));
            Segment { slope, owner: 0, length: random.within(0, 3) }
        });
        let segments = segments.collect();
        let coefficients = (0..rows).map(|row| i128::from(random.within(if row == 2 { -3 } else { 0 }, 9)));
        Group::new(coefficients.collect(), segments)
    };
    let groups = (0..random.within(0, 4)).map(|_| group(random)).collect();
    Program { groups, limits: (0..rows).map(|_| i128::from(random.within(0, 40))).collect() }
}

/// The minimum cost of all answers.
fn least(program: &Program, steps: &mut Vec<i64>) -> i128 {
    if steps.len() < program.groups.len() {
        let most = program.groups[steps.len()].most();
        let next = |number| {
            steps.push(number);
            let cost = least(program, steps);
            steps.pop();
            cost
        };
        return (0..=most).map(next).min().unwrap();
    }
    if is_feasible(program, steps) { program.cost(steps) } else { i128::MAX }
}

fn is_feasible(program: &Program, steps: &[i64]) -> bool {
    program.limits.iter().enumerate().all(|(row, limit)| {
        let usage = program
            .groups
            .iter()
            .zip(steps)
            .map(|(group, count)| group.coefficients[row] * i128::from(*count));
        usage.sum::<i128>() <= *limit
    })
}

#[test]
fn a_program_is_solved_like_by_brute_force() {
    let mut random = Random(11);
    for _ in 0..3000 {
        let program = random_program(&mut random);
        let solution = program.clone().solve(vec![0; program.groups.len()], 0, &Stop::never());
        assert!(is_feasible(&program, &solution.steps), "{solution:?} of {program:?}");
        assert_eq!(solution.cost, program.cost(&solution.steps));
        assert_eq!(solution.cost, least(&program, &mut Vec::new()), "{solution:?} of {program:?}");
        assert_eq!(solution.bound, solution.cost);
    }
}

#[test]
fn large_numbers_without_a_common_divisor_are_solved_exactly() {
    // Costs nearly proportional to usage, the hard kind: 300 groups, millicores with gcd 1, a thousand cores
    // to save.
    let mut random = Random(13);
    let group = |random: &mut Random| {
        let millicores = i128::from(random.within(1000, 9000));
        let slope = -(millicores * 1_000_000 + i128::from(random.within(0, 3)) * 500_000_000);
        Group::new(vec![millicores], vec![Segment { slope, owner: 0, length: random.within(1, 9) }])
    };
    let groups: Vec<Group> = (0..300).map(|_| group(&mut random)).collect();
    let all: i128 = groups.iter().map(|group| group.coefficients[0] * i128::from(group.most())).sum();
    let program = Program { limits: vec![all - 1_000_003], groups };
    let solution = program.clone().solve(vec![0; 300], 0, &Stop::never());
    assert!(is_feasible(&program, &solution.steps));
    assert_eq!(solution.bound, solution.cost);
}
